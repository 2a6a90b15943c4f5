"""What a visitor may ask for."""

from django import forms


class PictureForm(forms.Form):
    """A prompt, and how many pictures of it."""

    prompt = forms.CharField(min_length=2, max_length=300, widget=forms.TextInput(attrs={"size": 50}))
    number = forms.IntegerField(min_value=1, max_value=4, initial=2)
