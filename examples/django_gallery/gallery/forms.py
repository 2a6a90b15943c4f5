"""The form of the gallery."""

from django import forms


class ImageForm(forms.Form):
    """A prompt, and the number of images."""

    prompt = forms.CharField(min_length=2, max_length=300, widget=forms.TextInput(attrs={"size": 50}))
    number = forms.IntegerField(min_value=1, max_value=4, initial=2)
